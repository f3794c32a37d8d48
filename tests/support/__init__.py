"""What the tests share: workspaces, processes, small runs, a publisher and its archives, and the page on reruns."""
