package store

func owedKey(alertID string) key { return tableOwed.key().str(alertID) }

func (x *tx) PutOwed(alertID string) error { return x.mark(owedKey(alertID)) }

func (x *tx) DropOwed(alertID string) error { return x.remove(owedKey(alertID)) }

func (x *tx) Owed(limit int) ([]string, error) {
	found, err := x.keys(tableOwed.key(), tableOwed.key().after(), false, atMost(limit))
	var out []string
	for _, k := range found {
		out = append(out, split(k).str())
	}
	return out, err
}
