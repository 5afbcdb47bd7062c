"""Answers with the event itself."""


def f(event):
    return event
