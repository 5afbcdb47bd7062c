"""Has no handler."""

answer = 42
