import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * A signed client of the official gateway, with nothing but the JDK; only the base URL is another.
 * java AopClient.java BASE_URL APP_KEY APP_SECRET ACCESS_TOKEN PICTURE
 */
public class AopClient {
    static String call(String[] args, String name, Map<String, String> params) throws Exception {
        String path = "param2/1/com.alibaba.fenxiao.crossborder/" + name + "/" + args[1];
        String text = path + params.entrySet().stream().map(e -> e.getKey() + e.getValue()).sorted()
                .collect(Collectors.joining());
        Mac mac = Mac.getInstance("HmacSHA1");
        mac.init(new SecretKeySpec(args[2].getBytes(StandardCharsets.UTF_8), "HmacSHA1"));
        StringBuilder signature = new StringBuilder();
        for (byte b : mac.doFinal(text.getBytes(StandardCharsets.UTF_8))) {
            signature.append(String.format("%02X", b));
        }
        Map<String, String> all = new TreeMap<>(params);
        all.put("_aop_signature", signature.toString());
        String form = all.entrySet().stream()
                .map(e -> e.getKey() + "=" + URLEncoder.encode(e.getValue(), StandardCharsets.UTF_8))
                .collect(Collectors.joining("&"));
        HttpRequest request = HttpRequest.newBuilder(URI.create(args[0] + "/openapi/" + path))
                .header("Content-Type", "application/x-www-form-urlencoded")
                .POST(HttpRequest.BodyPublishers.ofString(form)).build();
        HttpResponse<String> response =
                HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
        if (response.statusCode() != 200) {
            throw new IllegalStateException(response.body());
        }
        System.err.println("x-tongkuan: " + response.headers().firstValue("x-tongkuan").orElse(null));
        return response.body();
    }

    public static void main(String[] args) throws Exception {
        String image = Base64.getEncoder().encodeToString(Files.readAllBytes(Path.of(args[4])));
        String uploaded = call(args, "product.image.upload",
                Map.of("uploadImageParam", "{\"imageBase64\":\"" + image + "\"}", "access_token", args[3]));
        Matcher id = Pattern.compile("\"result\":\"(\\d+)\"").matcher(uploaded);
        if (!id.find() || id.group(1).equals("0")) {
            throw new IllegalStateException("the picture was not taken: " + uploaded);
        }
        String query = "{\"imageId\":\"" + id.group(1) + "\",\"beginPage\":1,\"pageSize\":20,\"country\":\"en\"}";
        String found = call(args, "product.search.imageQuery",
                Map.of("offerQueryParam", query, "access_token", args[3]));
        Matcher offer = Pattern.compile("\"offerId\":(\\d+)").matcher(found);
        while (offer.find()) {
            System.out.println(offer.group(1));
        }
    }
}
