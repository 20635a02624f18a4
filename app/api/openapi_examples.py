"""A command for every route, to paste into a shell in the folder of this repository."""

from typing import Any

HERE = "http://127.0.0.1:8000"
IMAGE_FILE = "docs/images/seven.png"

# An image of zeros in the protocol's own JSON.
BLANK = (
    "python3 -c 'import json; print(json.dumps({"
    '"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 1, 28, 28], "data": [0] * 784}], '
    '"outputs": [{"name": "lengths"}]}))\''
)

EXAMPLES = {
    "post /classify": f"curl -s -F file=@{IMAGE_FILE} '{HERE}/classify?top_k=3'",
    "post /classify/batch": f"curl -s -F file=@{IMAGE_FILE} -F file=@README.md '{HERE}/classify/batch?verify=false'",
    "post /read": f"curl -s -F file=@docs/images/number.png '{HERE}/read'",
    "post /reconstruct": f"curl -s -F file=@{IMAGE_FILE} '{HERE}/reconstruct?direction=slant&amount=12'",
    "post /sweep": (
        f"curl -s -F file=@{IMAGE_FILE} -H 'Accept: image/png' -o sheet.png "
        f"'{HERE}/sweep?dims=0,3&min=-0.25&max=0.25&steps=11'"
    ),
    "post /explain": f"curl -s -F file=@{IMAGE_FILE} -H 'Accept: image/png' -o evidence.png '{HERE}/explain?label=7'",
    "post /transform": f"curl -s -F file=@{IMAGE_FILE} '{HERE}/transform?by=rotation&min=-20&max=20&steps=9'",
    "post /decode": (
        "curl -s -H 'Content-Type: application/json' "
        '-d \'{"label": "7", "pose": [0,0,0,0.3,0,0,0,0,0,0,0.2,0,0,0,0,0]}\' '
        f"'{HERE}/decode'"
    ),
    "get /models": f"curl -s '{HERE}/models'",
    "get /models/{name}": f"curl -s '{HERE}/models/mnist'",
    "get /health/live": f"curl -s '{HERE}/health/live'",
    "get /health/ready": f"curl -s '{HERE}/health/ready'",
    "get /metrics": f"curl -s '{HERE}/metrics'",
    "get /v2": f"curl -s '{HERE}/v2'",
    "get /v2/health/live": f"curl -s '{HERE}/v2/health/live'",
    "get /v2/health/ready": f"curl -s '{HERE}/v2/health/ready'",
    "get /v2/models/{name}": f"curl -s '{HERE}/v2/models/mnist'",
    "get /v2/models/{name}/ready": f"curl -s '{HERE}/v2/models/mnist/ready'",
    "post /v2/models/{name}/infer": f"{BLANK} | curl -s --data-binary @- '{HERE}/v2/models/mnist/infer'",
    "get /v2/models/{name}/config": f"curl -s '{HERE}/v2/models/mnist/config'",
    "get /v2/models/{name}/stats": f"curl -s '{HERE}/v2/models/mnist/stats'",
    "post /v2/repository/index": f"curl -s -X POST '{HERE}/v2/repository/index'",
    "post /v2/repository/models/{name}/load": (
        f"curl -s -X POST -H 'X-API-Key: KEY' '{HERE}/v2/repository/models/mnist/load'"
    ),
    "post /v2/repository/models/{name}/unload": (
        f"curl -s -X POST -H 'X-API-Key: KEY' '{HERE}/v2/repository/models/multimnist/unload'"
    ),
    "get /v2/models/{name}/versions/{version}/config": f"curl -s '{HERE}/v2/models/mnist/versions/1/config'",
    "get /v2/models/{name}/versions/{version}/stats": f"curl -s '{HERE}/v2/models/mnist/versions/1/stats'",
    "get /v2/models/{name}/versions/{version}": f"curl -s '{HERE}/v2/models/mnist/versions/1'",
    "get /v2/models/{name}/versions/{version}/ready": f"curl -s '{HERE}/v2/models/mnist/versions/1/ready'",
    "post /v2/models/{name}/versions/{version}/infer": (
        f"{BLANK} | curl -s --data-binary @- '{HERE}/v2/models/mnist/versions/1/infer'"
    ),
}


def add_examples(paths: dict[str, Any]) -> None:
    """Add the commands to the operations of an OpenAPI document: for readers, and for tools that show samples."""
    for path, methods in paths.items():
        for method, operation in methods.items():
            if command := EXAMPLES.get(f"{method} {path}"):
                operation["description"] += f"\n\n```sh\n{command}\n```"
                operation["x-codeSamples"] = [{"lang": "Shell", "label": "curl", "source": command}]
