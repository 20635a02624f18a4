"""Join the playground's ES modules into one file, and its style sheets into another.

The page has some thirty modules. Over HTTP/1.1 a browser loads six files at a time. At 400 ms a round trip the modules
alone take over two seconds, preloaded or not (docs/playground.md has the figures). One file takes one round trip. The
modules stay separate in `app/static/js`; the service joins them when it starts, so there is no build step.

It reads only the statements that the modules use: named and namespace imports and exports of declarations, at the
beginning of a line. Delete this file when the service speaks HTTP/2.
"""

import posixpath
import re
from collections.abc import Mapping

IMPORT = re.compile(r'^import (?:(\{[^}]*\}|\* as \w+) from )?"([^"]+)";$', re.MULTILINE)
EXPORT = re.compile(
    r"^export (?=(?:const (?P<several>\{[^}]*\})|(?:const|class|(?:async )?function\*?) (?P<one>\w+)))",
    re.MULTILINE,
)
UNREAD = re.compile(r"^(?:import|export)\b(?!\().*", re.MULTILINE)
# Comments on lines of their own are a fifth of the bytes. No string of a module may hold such a line.
COMMENT = re.compile(r"^[ \t]*(?:/\*(?:(?!\*/).)*\*/|//[^\n]*)\n", re.MULTILINE | re.DOTALL)
DYNAMIC = re.compile(r'\bimport\("([^"]+)"\)')
ADDRESS = re.compile(r'\bimport\.meta\.resolve\("([^"]+)"\)')

BUNDLE = "bundle"
# A global, not an import from the first bundle: that may wait for a bundle that is loaded later.
HEAD = 'const modules = (globalThis[Symbol.for("capsnet.modules")] ??= {});\n'

# A module as a function, run in the order in which the browser would run it; some wait for a file.
MODULE = """// {name}
modules["{name}"] ??= await (async () => {{
{imports}{body}
return {{ {exports} }};
}})();
"""


def join_modules(files: Mapping[str, str], entry: str) -> dict[str, str]:
    """Return joined modules by their paths: one for `entry`, and one for each that `entry` loads later.

    A module that is loaded later, by `import("./name.js")`, shares the modules that are already loaded. The address of
    its file is `import.meta.resolve("./name.js")`.

    Parameters
    ----------
    files
        The text of each module by its path.
    entry
        The path of the first one. All modules lie in its folder, and so do the joined ones: `bundle.js`, and
        `bundle.name.js` for one that is loaded later.

    Raises
    ------
    ValueError
        If a module is missing, two import each other, or a statement is of another kind than those understood.
    """
    folder = posixpath.dirname(entry)
    first = _in_order(files, entry)
    later = sorted(
        {_resolve(entry, path) for name in first for path in DYNAMIC.findall(files[name])} - {*first}
    )
    bundles = {f"{BUNDLE}.js": first}
    for name in later:
        order = [each for each in _in_order(files, name) if each not in first]
        bundles[f"{BUNDLE}.{posixpath.basename(name)}"] = order
    if inner := next(
        (name for names in bundles.values() for name in names if posixpath.dirname(name) != folder), None
    ):
        raise ValueError(f"{inner} lies in another folder than {entry}")

    def load(found: re.Match[str]) -> str:
        path = _resolve(entry, found[1])
        if path in first:
            return f'Promise.resolve(modules["{path}"])'
        return f'import("{_later(path)}").then(() => modules["{path}"])'

    joined = {}
    for bundle, names in bundles.items():
        text = HEAD + "".join(_module(name, files[name]) for name in names)
        text = ADDRESS.sub(lambda found: f'import.meta.resolve("{_later(found[1])}")', text)
        joined[posixpath.join(folder, bundle)] = DYNAMIC.sub(load, text)
    return joined


def _later(path: str) -> str:
    """Return where a module that is loaded later lies, as seen from the first bundle."""
    return f"./{BUNDLE}.{posixpath.basename(path)}"


def _in_order(files: Mapping[str, str], entry: str) -> list[str]:
    """Return the modules that `entry` needs, each after those that it imports, and `entry` last."""
    order: list[str] = []
    under_way: list[str] = []

    def visit(name: str) -> None:
        if name in order:
            return
        if name in under_way:
            raise ValueError(f"{name} imports itself, by way of {under_way[-1]}")
        if name not in files:
            raise ValueError(f"{under_way[-1]} imports {name}, which is not there")
        under_way.append(name)
        for found in IMPORT.finditer(files[name]):
            visit(_resolve(name, found[2]))
        order.append(under_way.pop())

    if entry not in files:
        raise ValueError(f"{entry} is not there")
    visit(entry)
    return order


def _module(name: str, text: str) -> str:
    """Return one module as a function that returns what it exports; raises ValueError."""
    imports = "".join(_import(name, *found.groups()) for found in IMPORT.finditer(text))
    exports = [each for found in EXPORT.finditer(text) for each in _exported(found)]
    body = COMMENT.sub("", EXPORT.sub("", IMPORT.sub("", text))).strip("\n")
    if unread := UNREAD.search(body):
        raise ValueError(f"{name}: {unread[0]!r} cannot be joined")
    return MODULE.format(name=name, imports=imports, body=body, exports=", ".join(exports))


def _import(name: str, what: str | None, path: str) -> str:
    if what is None:
        return ""  # its module has run before
    source = f'modules["{_resolve(name, path)}"]'
    if what.startswith("*"):
        return f"const {what.removeprefix('* as ')} = {source};\n"
    names = re.sub(r"(\w+) as (\w+)", r"\1: \2", what)
    return f"const {names} = {source};\n"


def _exported(found: re.Match[str]) -> list[str]:
    """Return the names that one export declares."""
    if found["one"]:
        return [found["one"]]
    return re.findall(r"(\w+)\s*(?:[,}]|$)", found["several"])


def _resolve(name: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), path))


def join_styles(files: Mapping[str, str], names: list[str]) -> str:
    """Return the style sheets one after another, as the page links them; they must lie in one folder."""
    return "".join(f"/* {name} */\n{COMMENT.sub('', files[name])}\n" for name in names)
