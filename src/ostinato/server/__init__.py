"""Tokens -> HTTP: the OpenAI API, health, metrics. The engine is behind `client.EngineClient`."""
