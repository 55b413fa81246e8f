"""Model servers on this machine: Ollama, vLLM, llama.cpp. Start them, share them, give them GPUs, and stop them."""
