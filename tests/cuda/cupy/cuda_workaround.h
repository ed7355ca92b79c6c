// In NVRTC this brings parts of the standard library, which g++ has.
#pragma once
namespace cuda::std {
using namespace ::std;
}
