# No device reboots while somebody works beside it: Monday to Friday, 6 to 22 o'clock where the run stands.
package edgeform

import rego.v1

workdays := {"monday", "tuesday", "wednesday", "thursday", "friday"}

shop_is_open if {
	input.at.weekday in workdays
	input.at.hour >= 6
	input.at.hour < 22
}

deny contains message if {
	shop_is_open
	some device in input.devices
	some change in device.changes
	change.reboot
	message := sprintf("%s would reboot (%s) on a %s at %d o'clock", [device.device, change.address, input.at.weekday, input.at.hour])
}
