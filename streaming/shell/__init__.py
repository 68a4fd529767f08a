"""The Faust shell: what turns a pure core into a process that loses nothing when it is killed."""
