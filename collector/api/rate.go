package api

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strconv"

	"github.com/watchbill/watchbill/collector/ticket"
)

// ratePage asks whoever has the link of a closed ticket how likely they are to recommend the service, and thanks them. It
// shows nothing of the ticket but the number that is in the link.
var ratePage = template.Must(template.New("rate").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>How did we do?</title></head><body>
{{if .Said}}<p role="status">{{.Said}}</p>{{else}}<h1>How likely are you to recommend our service?</h1>
<p>About {{.Number}}. 0 is not likely at all, 10 is very likely.</p>
<form method="post"><fieldset><legend>Your answer</legend>{{range .Scores}}<label><input type="radio" name="score" value="{{.}}" required> {{.}}</label> {{end}}</fieldset>
<p><label>What should we know? (optional)<br><textarea name="text" rows="4" cols="60" maxlength="2000"></textarea></label></p>
<p><button>Send</button></p></form>{{end}}</body></html>
`))

// rating is what ratePage shows.
type rating struct {
	Number, Said string
	Scores       []int
}

// maxRating bounds what is said with a rating, in bytes.
const maxRating = 8 << 10

// askRate shows the form. Opening the link answers nothing: programs that look at mail follow links too.
func (a *API) askRate(w http.ResponseWriter, r *http.Request) {
	page := rating{Number: r.PathValue("ref")}
	for n := range 11 {
		page.Scores = append(page.Scores, n)
	}
	a.showRate(w, http.StatusOK, page)
}

// takeRate keeps the answer, once: a link that was used and one that never was are refused alike.
func (a *API) takeRate(w http.ResponseWriter, r *http.Request) {
	r.Body = inTime(http.NewResponseController(w), http.MaxBytesReader(w, r.Body, bodyLimit), r.ContentLength)
	page := rating{Number: r.PathValue("ref")}
	score, err := strconv.Atoi(r.PostFormValue("score"))
	text := r.PostFormValue("text")
	if err != nil || score < 0 || score > 10 || len(text) > maxRating {
		page.Said = "Please go back and choose a number from 0 to 10, with at most a page of text."
		a.showRate(w, http.StatusBadRequest, page)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
	defer cancel()
	err = a.o.Desk.RateByLink(ctx, page.Number, r.PathValue("token"), score, text)
	switch {
	case err == nil:
		page.Said = "Thank you: your answer is kept."
		a.showRate(w, http.StatusOK, page)
	case errors.Is(err, ticket.ErrRefused):
		page.Said = "This link was used already, or is none. Tell the service desk your answer instead."
		a.showRate(w, http.StatusConflict, page)
	default:
		a.o.Logger.Error("a rating was not kept", "ticket", page.Number, "err", fmt.Errorf("rate by link: %w", err))
		page.Said = "Your answer could not be kept. Please try again later."
		a.showRate(w, http.StatusServiceUnavailable, page)
	}
}

func (a *API) showRate(w http.ResponseWriter, status int, page rating) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	w.WriteHeader(status)
	if err := ratePage.Execute(w, page); err != nil {
		a.o.Logger.Warn("the page of a rating broke off", "err", err)
	}
}
