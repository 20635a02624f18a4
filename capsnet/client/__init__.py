"""Ask the service over HTTP: `Client` for programs that wait, `AsyncClient` for programs on an event loop."""
