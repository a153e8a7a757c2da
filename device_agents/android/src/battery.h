// What the battery gives, as the kernel's power_supply class tells it.
#ifndef OFA_BATTERY_H
#define OFA_BATTERY_H

#include "device.h"

typedef struct {
    double current, voltage;  // as the sensor shows them: units and signs are the vendor's; NaN: not told
    double plugged;           // how many chargers say that they are connected; NaN: none tells
    char status[TEXT];        // such as Discharging; "" where it is not told
} Battery;

Battery battery(void);

#endif
