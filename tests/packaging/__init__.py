"""What a user installs and calls: the wheel, the `proctor` command, the set-up of a machine."""
