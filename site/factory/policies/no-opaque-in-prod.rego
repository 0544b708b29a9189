# In production every change says beforehand what it does. A device is production unless its label `stage`
# is `test`; where no labels are known, everything is.
package edgeform

import rego.v1

test_devices contains name if {
	some name, labels in input.labels
	labels.stage == "test"
}

deny contains message if {
	some device in input.devices
	not device.device in test_devices
	some change in device.changes
	change.fidelity == "opaque"
	message := sprintf("%s: nobody can say beforehand what %s does", [device.device, change.address])
}

warn contains message if {
	some device in input.devices
	some change in device.changes
	change.undo == "none"
	not startswith(change.address, "tool")
	not startswith(change.address, "identity")
	message := sprintf("%s: nothing brings %s back", [device.device, change.address])
}
