import java.io.BufferedReader;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.ByteBuffer;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.SubmissionPublisher;

/** The walk with Java's HttpClient, which finds its proxy in the system properties http.proxyHost and http.proxyPort. */
public class Walk {
    static final HttpClient CLIENT = HttpClient.newBuilder().build();
    static String base;
    static String gates;

    public static void main(String[] arguments) throws Exception {
        base = arguments[0];
        gates = arguments[1];
        HttpResponse<String> flaky = send(HttpRequest.newBuilder(at("flaky")));
        String attempts = flaky.headers().firstValue("x-sidecar-attempts").orElse("none");
        System.out.print("{"
            + field("hello", send(HttpRequest.newBuilder(at("hello"))).body()) + ", "
            + field("flaky", flaky.statusCode() + " " + attempts) + ", "
            + field("echo", send(HttpRequest.newBuilder(at("echo")).POST(BodyPublishers.ofString("amount=1"))).body()) + ", "
            + field("upload", upload()) + ", "
            + field("download", gated("download")) + ", "
            + field("events", gated("events")) + "}");
    }

    /** From a publisher: a body from an InputStream is sent only in full buffers. */
    static String upload() throws Exception {
        SubmissionPublisher<ByteBuffer> pieces = new SubmissionPublisher<>();
        HttpRequest request = HttpRequest.newBuilder(at("upload")).POST(BodyPublishers.fromPublisher(pieces)).build();
        CompletableFuture<HttpResponse<String>> answer = CLIENT.sendAsync(request, BodyHandlers.ofString());
        while (!pieces.hasSubscribers()) {
            Thread.sleep(1);
        }
        pieces.submit(ByteBuffer.wrap("one".getBytes()));
        passGate("arrived/3");
        pieces.submit(ByteBuffer.wrap("two".getBytes()));
        pieces.close();
        return answer.get().body();
    }

    static String gated(String name) throws Exception {
        HttpResponse<InputStream> answer = CLIENT.send(HttpRequest.newBuilder(at(name)).build(), BodyHandlers.ofInputStream());
        try (BufferedReader lines = new BufferedReader(new InputStreamReader(answer.body()))) {
            String first = lines.readLine();
            passGate("open/" + name);
            StringBuilder rest = new StringBuilder();
            lines.lines().forEach(rest::append);
            return first + "|" + rest;
        }
    }

    static URI at(String path) {
        return URI.create(base + "/" + path);
    }

    static HttpResponse<String> send(HttpRequest.Builder request) throws Exception {
        return CLIENT.send(request.build(), BodyHandlers.ofString());
    }

    static void passGate(String path) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(gates + "/" + path)).build();
        int status = HttpClient.newBuilder().proxy(HttpClient.Builder.NO_PROXY).build().send(request, BodyHandlers.discarding()).statusCode();
        if (status != 200) {
            throw new IllegalStateException("gate " + path + ": " + status);
        }
    }

    static String field(String name, String value) {
        return "\"" + name + "\": \"" + value + "\"";
    }
}
