package fleet

import "context"

type askingKey struct{}

// WithAsking is ctx with the operator who asks, for handlers that stand behind the API's authentication.
func WithAsking(ctx context.Context, who Operator) context.Context {
	return context.WithValue(ctx, askingKey{}, who)
}

// Asking is the operator who asks. Nobody is known where reading is open to everybody on loopback: then known is false.
func Asking(ctx context.Context) (who Operator, known bool) {
	who, known = ctx.Value(askingKey{}).(Operator)
	return who, known
}
