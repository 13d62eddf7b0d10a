"""Programs that write files, each with one library, and record what that library reads from them."""
