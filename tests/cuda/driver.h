// What the stub of cuBLAS asks of the stub of the driver.
#pragma once
#include <functional>
#include <string>

// Run now, or when the graph runs if the stream is captured.
int run_on(void *stream, const char *kind, const std::string &name, std::function<int()> run);
