package dedup

// row names a row of the claim table (1 to 11), of the verdict table, or of that of
// what is shown beside a record.
type row uint

const (
	row1  row = iota
	row2b     // the exception of row 2, after an incident
	row2
	row3
	row4
	row5
	row6
	row7
	row8
	row9
	row10
	row11
	rowRepeated
	rowDoubled
	rowDelivered
	rowWaiting
	rowWaitingNone
	rowUnsure
	rowDecided
	rowAsideDecided
	rowAsideOvertaken
	rowAside
	rowCount
)

// rows is a set of rows. It is empty but in the tests that prove each row is
// needed.
type rows uint32

func (s rows) has(r row) bool { return s&(1<<r) != 0 }
