"""One file for each published layout of a data set, and that of folders."""
