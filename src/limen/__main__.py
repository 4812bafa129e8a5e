"""`python -m limen` is the same as `limen`."""

from limen.cli import main

if __name__ == "__main__":
    main()
