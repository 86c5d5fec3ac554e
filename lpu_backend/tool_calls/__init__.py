"""Functions that a model may call: shown to it by its chat template, asked of it by a grammar, read out of its text.

Tools and messages have the shapes of the OpenAI API, as chat templates expect them.
"""
