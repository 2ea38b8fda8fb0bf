"""What records prove: answers, costs, changes. Read by tables, page and command line; nothing here imports torch."""
