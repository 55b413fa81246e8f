"""The filters of system calls: the list of calls, the filter of each architecture, and what writes them."""
