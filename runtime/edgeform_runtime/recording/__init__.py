"""What a pipeline keeps of its recent frames: masks, the ring in memory, files with limits (`.efcap`)."""
