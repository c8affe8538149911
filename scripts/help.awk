# Prints the targets of a Makefile: "##@" heads a section, "##" explains a target.
BEGIN { FS = ":.*## " }
/^##@ / { printf "\n%s\n", substr($0, 5) }
/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $1, $2 }
