"""Events on their way to functions: from queues, buckets, event buses, topics and the clock."""
