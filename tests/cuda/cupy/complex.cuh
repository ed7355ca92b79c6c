// CuPy's complex numbers, for g++: the standard library's.
#pragma once
#include <complex>
template <class T> using complex = std::complex<T>;
