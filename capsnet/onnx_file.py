"""Find what an ONNX file refers to beside itself, from its bytes: neither `onnx` nor a runtime is needed.

A tensor of a graph may lie in another file ("external data"). The card's hash covers the graph's file alone, so weights
in other files could be exchanged unseen. The format is protobuf's (https://protobuf.dev/programming-guides/encoding).
"""

from collections.abc import Iterator

VARINT, FIXED64, BYTES, START_GROUP, END_GROUP, FIXED32 = range(6)

# The fields of each message of onnx.proto that can hold a tensor, by their numbers, and the message in each.
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
    """Tell whether a tensor of an ONNX file lies elsewhere; a file that is no ONNX has none."""
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
    except IndexError:  # it ends too soon, which the runtime will say
        return False
    return False


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of one message: their numbers, and a number or bytes. Raises IndexError where it is cut short."""
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, place = _varint(data, place)
            yield number, value
        elif kind == BYTES:
            size, place = _varint(data, place)
            if place + size > len(data):
                raise IndexError
            yield number, data[place : place + size]
            place += size
        elif kind in (FIXED64, FIXED32):
            place += 8 if kind == FIXED64 else 4
        elif kind not in (START_GROUP, END_GROUP):  # the content of a group follows, like other fields
            raise IndexError


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and the place behind it."""
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
