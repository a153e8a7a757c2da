// The power of a whole board, as a sensor on its input tells it: an INA3221, which Jetson boards have.
#ifndef OFA_RAIL_H
#define OFA_RAIL_H

#include <stdbool.h>

// Starts to read the input rail ten times a second, on whichever core is free; false where there is none.
bool rail_start(void);

// Ends that. Means since the start, in hwmon's units, mV and mA, whose product is the mean power. The name of the sensor
// and its rail; NULL where nothing could be read.
const char *rail_end(double *voltage, double *current);

#endif
