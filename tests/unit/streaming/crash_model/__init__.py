"""A model of the trigger protocol: the real cores, a broker that loses what it may lose, and a process that dies."""
