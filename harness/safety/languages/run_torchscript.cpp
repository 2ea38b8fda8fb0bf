// Load a TorchScript archive, call `forward` with the value in a file of torch.save, write what it returns to another.
// Usage: run_torchscript MODEL INPUT OUTPUT
#include <torch/script.h>

#include <fstream>
#include <iostream>
#include <iterator>
#include <vector>

int main(int count, const char* arguments[]) {
  if (count != 4) return 2;
  try {
    torch::NoGradGuard no_gradients;
    auto model = torch::jit::load(arguments[1]);
    std::ifstream file(arguments[2], std::ios::binary);
    std::vector<char> data((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    auto answer = torch::jit::pickle_save(model.forward({torch::jit::pickle_load(data)}));
    std::ofstream(arguments[3], std::ios::binary).write(answer.data(), answer.size());
  } catch (const std::exception& error) {
    std::cerr << error.what() << std::endl;
    return 1;
  }
  return 0;
}
