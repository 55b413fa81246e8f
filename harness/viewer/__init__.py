"""The page over a folder of runs, served to a browser on this machine while the runs go on. It only reads."""
