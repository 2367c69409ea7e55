from benchmarks.delivery import main

main()
