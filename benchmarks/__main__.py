"""`make bench`."""

from benchmarks.delivery import main

if __name__ == "__main__":
    main()
