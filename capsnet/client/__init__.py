"""Ask the service over HTTP: `Client` for programs that wait, `AsyncClient` for programs with an event loop."""
