"""Answer from models and arrays; know nothing of HTTP."""
