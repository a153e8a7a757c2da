// What the battery gives, as the kernel's power_supply class tells it, or else Android's battery service; of a board
// without a battery, what its input rail takes.
#ifndef OFA_BATTERY_H
#define OFA_BATTERY_H

#include "device.h"
#include "json.h"

typedef struct {
    double current, voltage;  // as the sensor shows them: units and signs are the vendor's; NaN: not told
    double counter;           // what is left in it, in the vendor's unit; NaN: not told
    double plugged;           // how many chargers say that they are connected; NaN: none tells
    char status[TEXT];        // such as Discharging; "" where it is not told
    const char *source;       // NULL: the kernel's files
} Battery;

// Begins to read a board's input rail, or asks Android's service, where the kernel's files do not tell: both go on beside
// this process, since asking takes tens of milliseconds of another core.
void battery_ask(void);

// What the kernel shows now, or the mean of the rail since the last question, or what the service answered to it.
Battery battery(void);

// Its fields of a result.
void line_battery(Line *line, const Battery *found);

#endif
