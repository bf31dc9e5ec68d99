"""OpenAI-compatible client: endpoint, requests, response formats, response cache, budget, redaction."""
