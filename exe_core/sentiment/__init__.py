"""Emotions as levels of sentiment, and the scores of answers on such scales."""
