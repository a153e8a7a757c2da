// What the battery gives, as the kernel's power_supply class tells it, or else Android's battery service.
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

// Asks Android's service, where the kernel's files do not tell: it answers while this process goes on, since asking takes
// tens of milliseconds of another core.
void battery_ask(void);

// What the kernel shows now, or what the service answered to the last question.
Battery battery(void);

// Its fields of a result.
void line_battery(Line *line, const Battery *found);

#endif
