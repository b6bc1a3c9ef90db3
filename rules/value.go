package rules

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// Value is a sample's value that survives JSON: NaN and the infinities travel as strings, as in Prometheus' API.
type Value float64

// MarshalJSON writes the value as a decimal string.
func (v Value) MarshalJSON() ([]byte, error) {
	return json.Marshal(v.String())
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (v *Value) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("value: want a decimal in a string: %w", err)
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return fmt.Errorf("value %q: %w", s, err)
	}
	*v = Value(f)
	return nil
}

// String is the shortest decimal that reads back exactly.
func (v Value) String() string { return strconv.FormatFloat(float64(v), 'g', -1, 64) }
