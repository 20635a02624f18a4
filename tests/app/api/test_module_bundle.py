"""Modules joined into one: it does what they do one by one."""

import shutil
import subprocess
from pathlib import Path

import pytest

from app.api.module_bundle import join_modules, join_styles

MODULES = {
    "js/main.js": """/** Begin. */

import * as names from "./names.js";
import {
  double as twice,
  Counter,
} from "./tools.js";
import "./effects.js";
import { first, second } from "./tools.js";

// Which is said at the end.
const counter = new Counter();
counter.add(twice(names.SIZE));
const later = await import("./later.js");
const again = await import("./tools.js");
console.log([counter.total, first, second, later.WORD, again.double === twice, globalThis.effect].join(" "));
""",
    "js/names.js": "export const SIZE = 4;\n",
    "js/tools.js": """import { SIZE } from "./names.js";

export const { first, second } = { first: SIZE, second: "two" };
export const double = (value) => 2 * value;
export class Counter {
  total = 0;
  add(value) {
    this.total += value; // not a line of its own
  }
}
export async function wait() {}
""",
    "js/effects.js": 'globalThis.effect = "done";\n',
    "js/later.js": """import { wait } from "./tools.js";
import { rest } from "./latest.js";

export const WORD = wait === rest ? "late" : "another";
""",
    "js/latest.js": """import { wait } from "./tools.js";

export const { rest } = { rest: wait };
""",
}


@pytest.mark.skipif(not shutil.which("node"), reason="needs node")
def test_the_joined_module_does_what_the_modules_do(tmp_path: Path) -> None:
    for name, text in {**MODULES, **join_modules(MODULES, "js/main.js")}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    said = [
        subprocess.run(["node", f"js/{name}.js"], cwd=tmp_path, capture_output=True, text=True).stdout
        for name in ("main", "bundle")
    ]
    assert said == ["8 4 two late true done\n"] * 2


def test_each_module_is_there_once_and_without_its_comments() -> None:
    joined, later = join_modules(MODULES, "js/main.js").values()
    assert 'modules["js/latest.js"] ??=' in later
    assert 'modules["js/tools.js"] ??=' not in later
    assert joined.count('modules["js/names.js"] ??=') == 1
    assert joined.index('modules["js/names.js"] ??=') < joined.index('modules["js/tools.js"] ??=')
    assert "Begin" not in joined
    assert "Which is said" not in joined
    assert "not a line of its own" in joined


def test_the_address_of_what_comes_later_is_that_of_its_file() -> None:
    main = MODULES["js/main.js"] + 'const address = import.meta.resolve("./later.js");\n'
    joined = join_modules(MODULES | {"js/main.js": main}, "js/main.js")
    assert 'import.meta.resolve("./bundle.later.js")' in joined["js/bundle.js"]
    assert "js/bundle.later.js" in joined


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"js/names.js": 'import { double } from "./tools.js";\n'}, "imports itself"),
        ({"js/names.js": 'import { gone } from "./gone.js";\n'}, "js/gone.js, which is not there"),
        ({"js/names.js": "export let SIZE = 4;\n"}, "cannot be joined"),
        ({"js/names.js": "export default 4;\n"}, "cannot be joined"),
        ({"js/names.js": 'import names from "./effects.js";\n'}, "cannot be joined"),
        ({"js/names.js": 'import "./deep/effects.js";\n', "js/deep/effects.js": ""}, "another folder"),
        ({"js/main.js": 'import("./gone.js");\n'}, "gone.js is not there"),
    ],
)
def test_what_cannot_be_joined_is_named(change: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        join_modules(MODULES | change, "js/main.js")


def test_a_missing_entry_is_named() -> None:
    with pytest.raises(ValueError, match=r"main\.js is not there"):
        join_modules({}, "main.js")


def test_style_sheets_keep_their_order() -> None:
    files = {"css/a.css": "/* about\n a */\na { top: 0 }\n", "css/b.css": "b { top: 0 }\n"}
    assert join_styles(files, ["css/b.css", "css/a.css"]).split("\n")[1::3] == [
        "b { top: 0 }",
        "a { top: 0 }",
    ]
