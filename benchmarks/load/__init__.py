"""Start servers, send requests to them, and watch their memory."""
