"""What `edgeform explain EF21xx` says about the problems of planning: why, and what to do."""

from collections.abc import Mapping

EXPLAINED: Mapping[str, str] = {
    "EF2101": "Versions are resolved into edgeform.lock before anything is planned, so that a plan is the"
    " same on every machine. The model was added to the site, or renamed, since the lock was written.",
    "EF2102": "A variant is what a model becomes for an engine and an accelerator. Planning never builds:"
    " edgeform.lock names an artifact by its digest once `edgeform lock` has taken it from the registry, or"
    " `edgeform build` has made it by its recipe. A recipe, gate or source that changed is built again.",
    "EF2103": "Each variant says for which accelerators and engine it is, and its artifact which"
    " architecture it needs. None of them suits the device's class.",
    "EF2104": "A runtime closure is the engine with all its packages, built for one architecture, one"
    " minimum glibc and one Python. The class asks for a combination that the lock does not name.",
    "EF2105": "A pipeline infers with a Model of the site, by its name.",
    "EF2106": "A pipeline lists the secrets it may read; each must be declared by its device, or by the"
    " site's defaults, as a reference.",
    "EF2107": "A secret's value is needed while planning only to see whether it changed: the plan holds"
    " a keyed digest, never the value. Here the reference leads nowhere.",
    "EF2108": "A driver artifact holds .deb files. It is made by `edgeform store add-driver`, named by its"
    " digest in a class, and locked, so that every plan knows what it is without having its bytes.",
    "EF2109": "`source: artifact` means that a package comes out of a driver artifact. Most vendors"
    " hand out their .deb files to registered users only, so the built-in classes cannot name one: extend"
    " the class, and name yours.",
    "EF2111": "The probe's facts contradict the class. What was built for the class would not run, so"
    " nothing is sent.",
    "EF2112": "The class demands an accelerator that the device does not have, or whose driver is not"
    " bound although no driver change is planned.",
    "EF2113": "A device keeps the old generation while it installs the new one, and wants a fifth more"
    " than the new bytes free.",
    "EF2114": "With require_clock the device must be able to tell whether signed metadata has expired.",
    "EF2115": "The root of trust is given once, at enrolment, and never replaced from afar.",
    "EF2116": "Packages of a driver artifact travel; udev rules, kernel modules, groups, kernel parameters,"
    " packages from apt and vendor roles need a connection and sudo. A device that has committed a deployment"
    " knows what to look for, and says in its reports home what is in place; of one that has not, somebody"
    " who knows must say so.",
    "EF2120": "Both generations failed their checks. edgeform stops there, because another attempt could"
    " take away what a person needs to find the cause.",
    "EF2121": "The device answers, but its Python or its sudo does not let us look.",
    "EF2122": "The manifest of the generation in place cannot be compared with what is wanted.",
}
"""By code; the sentence of the diagnostic itself says what is wrong in the case at hand."""
