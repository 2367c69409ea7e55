"""Sends events to addresses that the operator names, signed as Standard Webhooks describes."""
