"""The OpenAI-compatible client: endpoint, requests, response cache, budget, redaction."""
