"""Find references of an ONNX file to other files, from its bytes, without `onnx` and without a runtime.

A tensor of a graph may lie in another file ("external data"). The card's hash covers the graph's file alone, so weights
in other files could be changed unnoticed. The format is protobuf (https://protobuf.dev/programming-guides/encoding).
"""

from collections.abc import Iterator

VARINT, FIXED64, BYTES, START_GROUP, END_GROUP, FIXED32 = range(6)

# Fields of the messages of onnx.proto that can hold a tensor, by number, with the type of the message in each.
NESTED = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 11: "Attribute"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
}
EXTERNAL_DATA, DATA_LOCATION = 13, 14  # fields of a Tensor; the location 0 is the file itself


def has_external_data(file: bytes) -> bool:
    """Tell whether a tensor of an ONNX file lies in another file; False for a file that is no ONNX."""
    open_messages = [("Model", memoryview(file))]
    try:
        while open_messages:
            message, data = open_messages.pop()
            for number, value in _fields(data):
                if message == "Tensor":
                    if number == EXTERNAL_DATA or (number == DATA_LOCATION and value != 0):
                        return True
                elif number in NESTED[message] and isinstance(value, memoryview):
                    open_messages.append((NESTED[message][number], value))
    except IndexError:  # the file is cut short, which the runtime reports
        return False
    return False


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the fields of one message: number, and integer or bytes. Raises IndexError where it is cut short."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, position = _varint(data, position)
            yield number, value
        elif kind == BYTES:
            size, position = _varint(data, position)
            if position + size > len(data):
                raise IndexError
            yield number, data[position : position + size]
            position += size
        elif kind in (FIXED64, FIXED32):
            position += 8 if kind == FIXED64 else 4
        elif kind not in (START_GROUP, END_GROUP):  # the content of a group follows, like other fields
            raise IndexError


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """Read an integer of seven bits in each byte, lowest first; return it and the position behind it."""
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
