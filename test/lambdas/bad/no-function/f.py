"""Has nothing that could be called."""

answer = 42
