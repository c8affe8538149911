package dedup

// RowNames are the rows of all tables, by the name that failures are told by.
var RowNames = map[string]row{
	"1": row1, "2 after an incident": row2b, "2": row2, "3": row3, "4": row4, "5": row5, "6": row6,
	"7": row7, "8": row8, "9": row9, "10": row10, "11": row11,
	"repeated": rowRepeated, "delivered, doubled": rowDoubled, "delivered": rowDelivered,
	"not taken": rowWaiting, "not taken, no record": rowWaitingNone,
	"dead while unsure": rowUnsure, "dead, no_click, held": rowDecided,
	"deferred, decided": rowAsideDecided, "deferred, overtaken": rowAsideOvertaken, "deferred": rowAside,
}

// RowCount is how many rows there are.
const RowCount = int(rowCount)

// SwitchOff makes s blind to one row.
func (s *Redis) SwitchOff(r row) { s.off |= 1 << r }

// DecideRestore is decideRestore.
func DecideRestore(found, ledger Record) (Record, bool) { return decideRestore(found, ledger) }

// SwapSource and SettleSource are the scripts.
const (
	SwapSource   = swapSource
	SettleSource = settleSource
)

// SwapHash and SettleHash are their names at a server.
func SwapHash() string   { return swapScript.Hash() }
func SettleHash() string { return settleScript.Hash() }

// DecodeMarker and EncodeMarker are the marker's codec.
func DecodeMarker(text string) (Marker, bool) { return decodeMarker(text) }
func EncodeMarker(m Marker) string            { return encodeMarker(m) }
