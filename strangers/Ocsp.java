// Java's own path validation with OCSP and no CRL: what it says of a leaf.
//
// usage: java Ocsp.java URL ROOT LEAF ISSUER
import java.io.FileInputStream;
import java.net.URI;
import java.security.cert.CertPathValidator;
import java.security.cert.CertPathValidatorException;
import java.security.cert.CertificateFactory;
import java.security.cert.PKIXParameters;
import java.security.cert.PKIXRevocationChecker;
import java.security.cert.TrustAnchor;
import java.security.cert.X509Certificate;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;

public class Ocsp {
    static CertificateFactory factory;

    static X509Certificate read(String path) throws Exception {
        try (var file = new FileInputStream(path)) {
            return (X509Certificate) factory.generateCertificate(file);
        }
    }

    public static void main(String[] args) throws Exception {
        factory = CertificateFactory.getInstance("X.509");
        var path = factory.generateCertPath(List.of(read(args[2]), read(args[3])));
        var validator = CertPathValidator.getInstance("PKIX");
        var checker = (PKIXRevocationChecker) validator.getRevocationChecker();
        checker.setOcspResponder(new URI(args[0]));
        // The root signs offline: of its own certificates only its CRL tells.
        checker.setOptions(EnumSet.of(
            PKIXRevocationChecker.Option.ONLY_END_ENTITY,
            PKIXRevocationChecker.Option.NO_FALLBACK));
        var parameters = new PKIXParameters(Set.of(new TrustAnchor(read(args[1]), null)));
        parameters.addCertPathChecker(checker);
        try {
            validator.validate(path, parameters);
            System.out.println("java: good");
        } catch (CertPathValidatorException e) {
            boolean revoked = e.getReason() == CertPathValidatorException.BasicReason.REVOKED;
            System.out.println((revoked ? "java: revoked: " : "java: failed: ") + e);
        }
    }
}
