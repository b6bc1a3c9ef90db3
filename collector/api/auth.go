package api

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/watchbill/watchbill/collector/fleet"
)

// authenticate tells who asks, and that they may. The error is a 401 or a 403. A token may come as the password of basic
// authentication where programs scrape, and where something is only read, which people do in browsers, from dashboards'
// links. Never where something changes: a browser sends a password it was once told along with what any page has it send.
func (a *API) authenticate(r *http.Request, right fleet.Right) (fleet.Operator, error) {
	token := bearer(r)
	if token == "" && (right == fleet.MayScrape || right == fleet.MayRead && onlyReads(r)) {
		_, token, _ = r.BasicAuth()
	}
	who, err := a.knownBy(token)
	if err != nil {
		return fleet.Operator{}, err
	}
	if !who.May(right) {
		return fleet.Operator{}, forbidden(who, right)
	}
	return who, nil
}

func onlyReads(r *http.Request) bool {
	return r.Method == http.MethodGet || r.Method == http.MethodHead
}

// authenticateProgram is authenticate where programs (amtool, Grafana, Prometheus) send a token as the password of basic
// authentication whatever they ask. What a page of another site has a browser send with the password that it knows is refused.
func (a *API) authenticateProgram(r *http.Request, right fleet.Right) (fleet.Operator, error) {
	if _, token, ok := r.BasicAuth(); ok {
		if byOtherSite(r) {
			return fleet.Operator{}, errOtherSite()
		}
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return a.authenticate(r, right)
}

// ownAccord lets through what next authenticates itself, but for what a page of another site has a browser send.
func ownAccord(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if byOtherSite(r) {
			err := errOtherSite()
			http.Error(w, err.Error(), err.Status)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// byOtherSite tells that a page of another site had a browser send this, to change something, with a password that it knows.
func byOtherSite(r *http.Request) bool {
	_, _, ok := r.BasicAuth()
	return ok && http.NewCrossOriginProtection().Check(r) != nil
}

func errOtherSite() *Error {
	return refusal(http.StatusForbidden, "cross_site", "send the token as `Authorization: Bearer TOKEN`",
		"a page of another site sent this with a password that the browser knew")
}

// invite has a browser ask for a name and a password where authenticate takes one.
func invite(w http.ResponseWriter, r *http.Request, right fleet.Right) {
	if right == fleet.MayRead && onlyReads(r) && strings.Contains(r.Header.Get("Accept"), "text/html") {
		w.Header().Add("WWW-Authenticate", `Basic realm="watchbill: any name, your token as the password", charset="UTF-8"`)
	}
}

// knownBy tells whose token it is; the error is a 401.
func (a *API) knownBy(token string) (fleet.Operator, error) {
	if token == "" && len(a.o.Fleet.Operators()) == 0 {
		return fleet.Operator{}, refusal(http.StatusUnauthorized, "no_operators",
			"stop it, run `watchbill operator add NAME` on its host with its --storage.path, and start it again",
			"this collector has no operator yet")
	}
	if token == "" {
		return fleet.Operator{}, refusal(http.StatusUnauthorized, "unauthenticated",
			"send your token as `Authorization: Bearer TOKEN`; an administrator makes one with `watchbill operator add NAME`",
			"this needs an operator's token and none was sent")
	}
	who, ok := a.o.Fleet.Authenticate(token)
	if !ok {
		return fleet.Operator{}, refusal(http.StatusUnauthorized, "unauthenticated",
			"an administrator makes a new one with `watchbill operator add NAME`",
			"this collector does not know the token that was sent")
	}
	return who, nil
}

func bearer(r *http.Request) string {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// scrape lets next be read without a token on loopback, with one elsewhere.
func (a *API) scrape(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !a.o.Loopback || !fromLoopback(r) {
			if _, err := a.authenticate(r, fleet.MayScrape); err != nil {
				a.fail(w, r, err)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// fromLoopback tells that a request names this host by a loopback name and was not passed on by a proxy. A page that
// resolves its own name to 127.0.0.1 (DNS rebinding) still sends its own name.
func fromLoopback(r *http.Request) bool {
	for _, h := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via"} {
		if r.Header.Get(h) != "" {
			return false
		}
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
